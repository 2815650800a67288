/*
 * main.c - the program.
 */
#include "base/memory.h"
#include "cli/command.h"

int main(int argc, char **argv)
{
    memory_hold_little();
    return cli_main(argc > 0 ? (size_t)argc - 1 : 0, argv + 1);
}
