/*
 * machine.c - the table of kernels, named.
 */
#include "sample/machine.h"
#include "tensor/cpu/kernels.h"

const char *machine_kernels(void)
{
    return kernels()->name;
}

void machine_list_kernels(struct buf *out)
{
    const struct kernels *const *all;
    const size_t n = kernels_available(&all);

    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s%s", i > 0 ? ", " : "", all[i]->name);
}

bool machine_choose_kernels(const char *name, struct error *err)
{
    struct buf list;

    if (kernels_choose(name))
        return true;
    buf_init(&list, 1 << 10);
    machine_list_kernels(&list);
    fail(err, ERR_UNSUPPORTED, "this machine does not run the kernels \"%s\"; it runs %s",
         name != NULL ? name : "auto", list.ptr);
    buf_release(&list);
    return false;
}
