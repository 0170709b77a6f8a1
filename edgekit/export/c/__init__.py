"""A Graph as standalone C99: `export_c` writes the files, `interface` says how to call them.

    files = export_c(graph, "kws")            # {"kws.h": ..., "kws.c": ..., "kws_weights.h": ...}
    face = interface(graph, "kws")            # C names, dtypes, element counts, arena bytes

Only `kws.c` is compiled; `kws_weights.h` is included by it. In the caller's program:

    static kws_state state;                                  // holds the arena, KWS_ARENA_SIZE bytes
    kws_run(&state, input, output);                          // the caller owns input and output; input is const

or, with the least memory, in the static form (inputs and outputs lie inside the arena):

    int8_t *in = kws_input();  fill(in);  kws_run_static();  use(kws_output());

The static arena takes no memory in a program that never calls the static form (link with -ffunction-sections
-fdata-sections -Wl,--gc-sections). Int8 models use <stdint.h> alone; float32 models also <math.h> (expf, tanhf) where
the compiler has it.
"""

from __future__ import annotations

from edgekit.export.c.interface import C_TYPES, Interface, Port, check_name, port_names

__all__ = ["C_TYPES", "Interface", "Port", "check_name", "port_names"]
