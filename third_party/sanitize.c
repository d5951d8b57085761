/* What the sanitizers are told about code that is not ours. LLVM's OpenMP runtime keeps the records
 * of its threads until the process ends; LeakSanitizer looks before that. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libomp.so"; }
