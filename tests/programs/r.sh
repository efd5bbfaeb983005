#!/bin/sh
# A fit, in two processes.
set -eu
Rscript --vanilla -e 'library(parallel); f <- function(k) { x <- 1:10; unname(round(coef(lm(k * x ~ x))[2])) }; cat(unlist(mclapply(2:3, f, mc.cores = 2)), "\n")'
