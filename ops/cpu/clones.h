/* RILLI_CLONES before a function compiles it for several instruction sets; the program picks the
 * best one of the machine when it starts. GCC only: Clang gives the choosers of static functions
 * names that clash. Without effect under sanitizers, which are not ready that early. */
#ifndef RILL_OPS_CPU_CLONES_H_
#define RILL_OPS_CPU_CLONES_H_

#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define RILLI_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define RILLI_CLONES
#endif

#endif /* RILL_OPS_CPU_CLONES_H_ */
