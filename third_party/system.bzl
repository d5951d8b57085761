"""Libraries of the machine as Bazel repositories, and stand-ins for what Bazel itself asks for.

A library is found by looking for its header and its library in the places where Debian, Ubuntu and
others put them. A library that is missing is an error that names the package to install.
"""

load("//third_party:cuda.bzl", "cuda_repository")

_LIBRARY_DIRS = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
]

_HEADER_DIRS = [
    "/usr/include/x86_64-linux-gnu",
    "/usr/include/aarch64-linux-gnu",
    "/usr/include",
    "/usr/local/include",
]

def _find(ctx, dirs, subdirs, names):
    """The first dir/subdir that holds every name, or None."""
    for subdir in subdirs:
        for dir in dirs:
            folder = dir + "/" + subdir if subdir else dir
            if not [n for n in names if not ctx.path(folder + "/" + n).exists]:
                return folder
    return None

_LIBRARY_BUILD = """package(default_visibility = ["//visibility:public"])

cc_library(
    name = "{name}",
    hdrs = {headers},
    includes = ["include"],
    linkopts = select({{
        "@rill//third_party:static_libraries": {static},
        "//conditions:default": {shared},
    }}),
)
"""

def _system_library_impl(ctx):
    shared = "lib" + ctx.attr.library + ".so"
    static = "lib" + ctx.attr.library + ".a"
    headers = _find(ctx, _HEADER_DIRS, ctx.attr.subdirs, ctx.attr.headers)
    libraries = _find(ctx, _LIBRARY_DIRS, ctx.attr.subdirs, [shared])
    if not headers or not libraries:
        fail("\n\n%s (%s, %s) is not installed. Run third_party/install.sh, or install the package %s.\n" %
             (ctx.attr.library, ", ".join(ctx.attr.headers), shared, ctx.attr.package))
    for header in ctx.attr.headers:
        ctx.symlink(headers + "/" + header, "include/" + header)
    # The folder is written into the binaries (rpath) only where the loader would not look by itself:
    # Debian keeps several builds of OpenBLAS side by side and may prefer one with other threads.
    options = ["-L" + libraries]
    if libraries not in _LIBRARY_DIRS:
        options.append("-Wl,-rpath," + libraries)
    options.append("-l" + ctx.attr.library)
    archive = libraries + "/" + static
    has_archive = ctx.path(archive).exists and not ctx.attr.shared_only
    static_options = [archive] if has_archive else options
    ctx.file("BUILD", _LIBRARY_BUILD.format(
        name = ctx.attr.library,
        headers = repr(["include/" + h for h in ctx.attr.headers]),
        static = repr(static_options + ctx.attr.static_needs),
        shared = repr(options),
    ))
    ctx.file("link.bzl", "LINK = %r\n" % " ".join(options))

system_library = repository_rule(
    implementation = _system_library_impl,
    attrs = {
        "library": attr.string(mandatory = True, doc = "what follows -l"),
        "headers": attr.string_list(mandatory = True),
        "subdirs": attr.string_list(default = [""], doc = "folders to look in, best first"),
        "shared_only": attr.bool(doc = "the archive cannot be used"),
        "static_needs": attr.string_list(doc = "what the archive needs beside itself"),
        "package": attr.string(mandatory = True, doc = "Debian's name for it"),
    },
    local = True,
)

def _googletest_impl(ctx):
    root = "/usr/src/googletest/googletest"
    if not ctx.path(root + "/src/gtest-all.cc").exists:
        fail("\n\nGoogleTest's source is not in /usr/src/googletest. Run third_party/install.sh, or " +
             "install the package googletest.\n")
    ctx.symlink(root + "/src", "src")
    ctx.symlink(root + "/include", "include")
    ctx.symlink(Label("//third_party:googletest.BUILD"), "BUILD")

googletest_source = repository_rule(implementation = _googletest_impl, local = True)

def _files_impl(ctx):
    for path, text in ctx.attr.files.items():
        ctx.file(path, text)

_files_repository = repository_rule(
    implementation = _files_impl,
    attrs = {"files": attr.string_dict(doc = "text by path")},
)

# Bazel 4 loads the C++ and Java rules from repositories, though they are built into it.
def _native(rules):
    return "\n".join(["%s = native.%s" % (rule, rule) for rule in rules])

_CC_RULES = [
    "cc_binary",
    "cc_import",
    "cc_library",
    "cc_proto_library",
    "cc_test",
    "cc_toolchain",
    "cc_toolchain_suite",
    "objc_library",
]

_JAVA_RULES = [
    "java_binary",
    "java_import",
    "java_library",
    "java_proto_library",
    "java_runtime",
    "java_toolchain",
]

# Bazel 4 makes every test depend on these, used by `bazel coverage` alone.
_COVERAGE_TOOLS = """package(default_visibility = ["//visibility:public"])

filegroup(name = "coverage_report_generator")

filegroup(name = "lcov_merger")
"""

def _bazel_stand_ins():
    """What Bazel 4 would download before it builds anything. Later versions bring their own."""
    version = native.bazel_version or ""
    if version[:1].isdigit() and not version.startswith("4."):
        return  # Debian's Bazel 4.2.3 calls its version "no_version"
    _files_repository(
        name = "rules_cc",
        files = {"BUILD": "", "cc/BUILD": "", "cc/defs.bzl": _native(_CC_RULES)},
    )
    _files_repository(
        name = "rules_java",
        files = {"BUILD": "", "java/BUILD": "", "java/defs.bzl": _native(_JAVA_RULES)},
    )
    _files_repository(
        name = "remote_coverage_tools",
        files = {"BUILD": _COVERAGE_TOOLS},
    )

def rill_repositories():
    _bazel_stand_ins()
    googletest_source(name = "googletest")
    # The OpenMP build comes first, so that the process has one OpenMP runtime and one set of threads.
    system_library(
        name = "openblas",
        library = "openblas",
        headers = ["cblas.h", "openblas_config.h"],
        package = "libopenblas-openmp-dev",
        static_needs = ["-lm", "-lpthread"],
        subdirs = ["openblas-openmp", "openblas", "openblas-pthread", "openblas-serial", ""],
    )
    system_library(
        name = "jansson",
        library = "jansson",
        headers = ["jansson.h", "jansson_config.h"],
        package = "libjansson-dev",
    )
    system_library(
        name = "md",
        library = "md",
        headers = ["sha2.h"],
        package = "libmd-dev",
    )
    # Its archive needs those of GnuTLS, which Debian does not have all of: always the shared library.
    system_library(
        name = "microhttpd",
        library = "microhttpd",
        headers = ["microhttpd.h"],
        package = "libmicrohttpd-dev",
        shared_only = True,
    )
    # There is no archive of it: librill_sentencepiece.so, which the programs open when a tokenizer
    # needs it, is linked with the shared objects in every configuration.
    system_library(
        name = "sentencepiece",
        library = "sentencepiece",
        headers = ["sentencepiece_processor.h"],
        package = "libsentencepiece-dev",
    )
    system_library(
        name = "sentencepiece_train",
        library = "sentencepiece_train",
        headers = ["sentencepiece_trainer.h"],
        package = "libsentencepiece-dev",
    )
    cuda_repository(name = "cuda")
