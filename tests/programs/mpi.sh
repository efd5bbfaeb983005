#!/bin/sh
# Two processes that pass a large message, through shared memory or process_vm_readv(2).
set -eu
cat >ring.c <<'END'
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    int rank, size, count = 1 << 20, sum = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    int *numbers = calloc(count, sizeof *numbers);
    if (rank == 0) {
        for (int i = 0; i < count; i++) numbers[i] = 1;
        MPI_Send(numbers, count, MPI_INT, 1, 0, MPI_COMM_WORLD);
    } else {
        MPI_Recv(numbers, count, MPI_INT, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        for (int i = 0; i < count; i++) sum += numbers[i];
        printf("%d of %d: %d\n", rank, size, sum);
    }
    MPI_Finalize();
}
END
mpicc -o ring ring.c
mpirun -n 2 --oversubscribe ./ring
