#!/bin/sh
# A certificate, a hash, and an encrypted file that is decrypted again.
set -eu
openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out certificate -subj /CN=payload 2>log
openssl x509 -noout -subject -in certificate | tr -d ' '
echo content >file
openssl enc -aes-256-cbc -pbkdf2 -pass pass:word -in file -out secret
openssl enc -d -aes-256-cbc -pbkdf2 -pass pass:word -in secret
openssl dgst -sha256 file | sed 's/.*= *//' | cut -c1-8
