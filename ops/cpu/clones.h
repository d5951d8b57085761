/* RILLI_CLONES before a function compiles it for several instruction sets; the program picks the
 * best one of the machine when it starts. Without effect where the linker cannot do so, and under
 * sanitizers, which are not ready that early. */
#ifndef RILL_OPS_CPU_CLONES_H_
#define RILL_OPS_CPU_CLONES_H_

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define RILLI_SANITIZED_
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RILLI_SANITIZED_
#endif

#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(RILLI_SANITIZED_)
#define RILLI_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define RILLI_CLONES
#endif

#endif /* RILL_OPS_CPU_CLONES_H_ */
