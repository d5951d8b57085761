"""cuda_library: .cu files compiled by nvcc, as a library that cc_ rules depend on."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")
load("@cuda//:config.bzl", "CUDA_ENABLED", "CUDA_VERSION", "NVCC")

# Machine code for Hopper, and PTX for everything since Ampere: compiled ahead of time for the GPU that
# the kernels are made for, by the driver at load time for others. --define=cuda_archs=... changes it.
_ARCHS = "sm_90a,compute_80"

_FLAGS = [
    "-std=c++17",
    "-O3",
    "-lineinfo",
    "--expt-relaxed-constexpr",
    "--expt-extended-lambda",
    "-Xcompiler=-fPIC,-Wall,-Wno-unknown-pragmas",
]

def _gencode(archs):
    """sm_X: machine code for X. compute_X: PTX for X and later."""
    flags = []
    for arch in archs.split(","):
        number = arch[arch.index("_") + 1:]
        flags.append("-gencode=arch=compute_%s,code=%s" % (number, arch))
    return flags

def _cuda_library_impl(ctx):
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    headers = depset(ctx.files.hdrs)
    own = CcInfo(compilation_context = cc_common.create_compilation_context(headers = headers))
    deps = cc_common.merge_cc_infos(cc_infos = [own] + [d[CcInfo] for d in ctx.attr.deps])
    if not CUDA_ENABLED or not ctx.files.srcs:
        return [DefaultInfo(), deps]

    context = deps.compilation_context
    args = ctx.actions.args()
    args.add_all(_FLAGS)
    archs = ctx.var.get("cuda_archs", _ARCHS)
    args.add_all(_gencode(archs))
    if "sm_90a" in archs:
        args.add("-DRILL_SM_90A")
    args.add("-ccbin", toolchain.compiler_executable)
    args.add_all(context.defines, format_each = "-D%s")
    args.add_all(["-I.", "-I" + ctx.bin_dir.path])
    args.add_all(context.includes, before_each = "-I")
    args.add_all(context.quote_includes, before_each = "-I")
    args.add_all(context.system_includes, before_each = "-isystem")
    args.add_all(ctx.attr.copts)

    objects = []
    for source in ctx.files.srcs:
        stem = source.short_path[len(ctx.label.package) + 1:] if ctx.label.package else source.short_path
        object = ctx.actions.declare_file("_cuda/%s/%s.o" % (ctx.label.name, stem))
        ctx.actions.run(
            executable = NVCC,
            arguments = [args, "-c", source.path, "-o", object.path],
            inputs = depset(
                [source],
                transitive = [headers, context.headers, toolchain.all_files],
            ),
            outputs = [object],
            # Neither PATH nor the version is an input; naming them makes a new compiler recompile.
            env = {"PATH": "/usr/bin:/bin", "RILL_CUDA_VERSION": CUDA_VERSION},
            mnemonic = "CudaCompile",
            progress_message = "Compiling %s with nvcc" % source.short_path,
        )
        objects.append(object)

    outputs = cc_common.create_compilation_outputs(
        objects = depset(objects),
        pic_objects = depset(objects),
    )
    linking, _ = cc_common.create_linking_context_from_compilation_outputs(
        actions = ctx.actions,
        name = ctx.label.name,
        feature_configuration = features,
        cc_toolchain = toolchain,
        compilation_outputs = outputs,
        linking_contexts = [deps.linking_context],
        disallow_dynamic_library = True,
        alwayslink = True,
    )
    return [
        DefaultInfo(files = depset(objects)),
        CcInfo(compilation_context = context, linking_context = linking),
    ]

cuda_library = rule(
    implementation = _cuda_library_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".cu"]),
        "hdrs": attr.label_list(allow_files = [".h", ".cuh"]),
        "deps": attr.label_list(providers = [CcInfo]),
        "copts": attr.string_list(),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)
