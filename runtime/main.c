/* main of an executable made by znetc: the compiled module is linked in. */
#include "runtime/runtime.h"

int main(int argc, char **argv) {
    return zn_rt_main(&zn_compiled_module, argc, argv);
}
