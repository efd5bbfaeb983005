#!/bin/sh
# A static program with goroutines, a process and a TCP connection.
set -eu
export CGO_ENABLED=0 GOCACHE="$PWD/cache" GOPATH="$PWD/path" GOTOOLCHAIN=local
cat >main.go <<'END'
package main

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"sync"
)

func main() {
	var group sync.WaitGroup
	sums := make(chan int, 10)
	for i := 1; i <= 10; i++ {
		group.Add(1)
		go func(n int) { defer group.Done(); sums <- n }(i)
	}
	group.Wait()
	close(sums)
	sum := 0
	for n := range sums {
		sum += n
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() { peer, _ := listener.Accept(); fmt.Fprint(peer, sum); peer.Close() }()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		panic(err)
	}
	said, _ := io.ReadAll(client)
	output, err := exec.Command("echo", string(said)).Output()
	fmt.Print(string(output))
	if err != nil {
		panic(err)
	}
}
END
go build -o program main.go
./program
