#!/bin/sh
# Processes with pipes, a sorted file, and a TCP connection.
set -eu
cat >program.pl <<'END'
use strict;
use IO::Socket::INET;
use File::Temp;
my $server = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1") or die $!;
my $child = fork() // die $!;
if (!$child) {
    my $client = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $server->sockport);
    print $client "3\n1\n2\n";
    exit 0;
}
my $file = File::Temp->new;
my $peer = $server->accept;
print $file $_ while <$peer>;
close $file;
waitpid $child, 0;
open my $sorted, "-|", "sort", "-n", $file->filename or die $!;
print join(" ", map { chomp; $_ } <$sorted>), "\n";
END
perl program.pl
