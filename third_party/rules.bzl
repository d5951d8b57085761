"""The compiler flags of Rill, and the rules its BUILD files are written in.

One place says how code is compiled; a folder's BUILD file says what is in it.
"""

_DEBUG = ["-O1", "-g", "-fno-omit-frame-pointer", "-DRILL_DEBUG"]
_CHECKED = ["-O2", "-g", "-DRILL_DEBUG"]
_RELEASE = ["-O3", "-g"]

_OPTIMISE = select({
    "//third_party:debug": _DEBUG,
    "//third_party:checked": _CHECKED,
    "//conditions:default": _RELEASE,
})

# What the debugging modes change in .cu files.
CUDA_MODE = select({
    "//third_party:debug": ["-DRILL_DEBUG"],
    "//third_party:checked": ["-DRILL_DEBUG"],
    "//conditions:default": [],
})

_STRICT = select({
    "//third_party:strict": ["-Werror"],
    "//conditions:default": [],
})

# Errno and floating-point traps are not used; both would keep loops over expf and the like scalar.
# Nothing here lets the compiler reorder a sum: results do not depend on how loops are vectorised.
_COMMON = ["-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra"]

_C = _COMMON + [
    "-std=c11",
    "-D_POSIX_C_SOURCE=200809L",
    "-Wpedantic",
    "-Wshadow",
    "-Wconversion",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
]

# Option structs are written with the fields that differ from zero; GoogleTest's macros hold an else.
_CXX = _COMMON + [
    "-std=c++20",
    "-Wno-missing-field-initializers",
    "-Wno-dangling-else",
]

def rill_library(name, srcs, hdrs, deps = [], **kwargs):
    """A C library. Headers named *_impl.h belong in srcs: they stay in their folder."""
    native.cc_library(
        name = name,
        srcs = srcs,
        hdrs = hdrs,
        copts = _C + _OPTIMISE + _STRICT,
        linkopts = ["-lm"],
        linkstatic = True,
        # Ops are reached through a table, so a linker that looks for names only would drop some.
        alwayslink = True,
        deps = deps + ["//third_party:openmp"],
        **kwargs
    )

def rill_program(name, srcs, deps, **kwargs):
    """A C program."""
    native.cc_binary(
        name = name,
        srcs = srcs,
        copts = _C + _OPTIMISE + _STRICT,
        deps = deps + ["//third_party:openmp", "//third_party:sanitizer_options"],
        **kwargs
    )

def rill_plugin(name, srcs, deps, **kwargs):
    """A shared object in C++20 that programs open at run time: a shim over a C++ library.

    Programs and tests look for it beside themselves and where rill_plugin_path says.
    """
    native.cc_binary(
        name = name,
        srcs = srcs,
        copts = _CXX + _OPTIMISE + _STRICT,
        linkopts = ["-Wl,-rpath,$$ORIGIN"],
        linkshared = True,
        deps = deps,
        **kwargs
    )

def rill_plugin_path(name, plugin, folders):
    """What a library that opens a plugin depends on: the file, and where programs look for it."""
    native.cc_library(
        name = name,
        data = [plugin],
        linkopts = ["-ldl"] + ["-Wl,-rpath,$$ORIGIN" + folder for folder in [""] + folders],
    )

def rill_test(name, srcs, deps, **kwargs):
    """A GoogleTest program in C++20."""
    native.cc_test(
        name = name,
        srcs = srcs,
        copts = _CXX + _OPTIMISE + _STRICT,
        linkstatic = True,
        deps = deps + [
            "//third_party:openmp",
            "//third_party:sanitizer_options",
            "@googletest//:gtest_main",
        ],
        **kwargs
    )

def rill_fuzzer(name, srcs, deps, **kwargs):
    """A libFuzzer program, for --config=fuzz."""
    native.cc_binary(
        name = name,
        srcs = srcs,
        copts = _CXX + _OPTIMISE + _STRICT,
        linkopts = ["-fsanitize=fuzzer"],
        deps = deps + ["//third_party:openmp", "//third_party:sanitizer_options"],
        **kwargs
    )

def sources(name = "sources"):
    """Every file of the package, for the tests that read the source."""
    native.filegroup(
        name = name,
        srcs = native.glob(["**"]),
        visibility = ["//tests:__pkg__"],
    )
