#!/bin/sh
# A program in many threads, compiled and executed by a virtual machine.
set -eu
cat >Sum.java <<'END'
import java.nio.file.*;
import java.util.stream.IntStream;
public class Sum {
    public static void main(String[] words) throws Exception {
        int sum = IntStream.rangeClosed(1, 1000).parallel().sum();
        Path file = Files.createTempFile("sum", null);
        Files.writeString(file, Integer.toString(sum));
        Process cat = new ProcessBuilder("cat", file.toString()).inheritIO().start();
        System.exit(cat.waitFor());
    }
}
END
javac Sum.java
java -XX:+UseParallelGC Sum
