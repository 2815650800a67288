/*
 * main.c - the program.
 */
#include "cli/command.h"

int main(int argc, char **argv)
{
    return cli_main(argc > 0 ? (size_t)argc - 1 : 0, argv + 1);
}
