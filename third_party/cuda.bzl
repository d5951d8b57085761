"""CUDA: where it is, and a rule that compiles .cu files.

The repository @cuda holds
  config.bzl   CUDA_ENABLED, NVCC, CUDA_VERSION, and LINK: how a program links the static runtime
  :cuda        the static runtime; depending on it defines RILL_WITH_CUDA=1
Without CUDA, or with RILL_CUDA=0 in the environment, :cuda is an empty library, cuda_library compiles
nothing, and RILL_WITH_CUDA is not defined: the same BUILD files serve both machines.

Of CUDA only the runtime is linked, and statically, so that a build with CUDA starts on a machine
without it. cuBLASLt, cuDNN and NCCL are opened by the code that uses them. Headers of CUDA are known
to nvcc alone, so code that includes them is a .cu file.
"""

_BUILD_WITHOUT = """package(default_visibility = ["//visibility:public"])

cc_library(name = "cuda")
"""

_BUILD_WITH = """package(default_visibility = ["//visibility:public"])

cc_library(
    name = "cuda",
    srcs = ["lib/libcudart_static.a"],
    defines = ["RILL_WITH_CUDA=1"],
    linkopts = ["-ldl", "-lrt", "-lpthread"],
)
"""

_CONFIG = """CUDA_ENABLED = {enabled}
NVCC = {nvcc}
CUDA_VERSION = {version}
LINK = {link}
"""

def _find_cuda(ctx):
    """The folder of a CUDA that can compile and link, its library folder and its version; or why not."""
    env = ctx.os.environ
    if env.get("RILL_CUDA") == "0":
        return None, None, "switched off by RILL_CUDA=0"
    home = env.get("CUDA_HOME") or "/usr/local/cuda"
    if not ctx.path(home + "/bin/nvcc").exists:
        return None, None, "no nvcc in %s/bin" % home
    libraries = [
        home + "/" + d
        for d in ["lib64", "lib", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib"]
        if ctx.path(home + "/" + d + "/libcudart_static.a").exists
    ]
    if not libraries:
        return None, None, "no libcudart_static.a below %s" % home
    run = ctx.execute([home + "/bin/nvcc", "--version"])
    if run.return_code != 0:
        return None, None, "%s/bin/nvcc does not run" % home
    return home, libraries[0], run.stdout.strip().split("\n")[-1]

def _cuda_repository_impl(ctx):
    home, libraries, version = _find_cuda(ctx)
    if home:
        ctx.symlink(libraries + "/libcudart_static.a", "lib/libcudart_static.a")
    elif ctx.os.environ.get("RILL_CUDA") == "1":
        fail("\n\nRILL_CUDA=1 asks for CUDA, but there is %s. Set CUDA_HOME to its folder.\n" % version)
    ctx.file("BUILD", _BUILD_WITH if home else _BUILD_WITHOUT)
    ctx.file("config.bzl", _CONFIG.format(
        enabled = bool(home),
        nvcc = repr(home + "/bin/nvcc" if home else ""),
        version = repr(version),
        link = repr("-L%s -lcudart_static -ldl -lrt -lpthread -lstdc++" % libraries if home else ""),
    ))

cuda_repository = repository_rule(
    implementation = _cuda_repository_impl,
    environ = ["CUDA_HOME", "RILL_CUDA"],
    local = True,
)
