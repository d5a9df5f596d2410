"""From a description of a kernel to native code: a thin builder over LLVM, targets, the cache."""
