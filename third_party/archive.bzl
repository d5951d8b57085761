"""merged_archive: one .a with the objects of every library of this workspace below `deps`.

Users who do not use Bazel link one file. Libraries of the machine are not merged: rill.pc names them.
"""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

def _merged_archive_impl(ctx):
    toolchain = find_cpp_toolchain(ctx)
    objects = []
    linking = cc_common.merge_cc_infos(cc_infos = [d[CcInfo] for d in ctx.attr.deps]).linking_context
    for item in linking.linker_inputs.to_list():
        if item.owner.workspace_name not in ["", ctx.workspace_name]:
            continue
        for library in item.libraries:
            objects += library.pic_objects or library.objects or []
    output = ctx.actions.declare_file(ctx.label.name + ".a")
    args = ctx.actions.args()
    args.use_param_file("@%s", use_always = True)
    args.set_param_file_format("multiline")

    # Objects of one name are distinct members: `q` appends without looking for an old member.
    args.add_all(objects)
    ctx.actions.run(
        executable = toolchain.ar_executable,
        arguments = ["qcsD", output.path, args],
        inputs = depset(objects, transitive = [toolchain.all_files]),
        outputs = [output],
        mnemonic = "MergeArchive",
        progress_message = "Merging %s" % output.short_path,
    )
    return [DefaultInfo(files = depset([output]))]

merged_archive = rule(
    implementation = _merged_archive_impl,
    attrs = {
        "deps": attr.label_list(providers = [CcInfo], mandatory = True),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)
