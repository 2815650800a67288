/*
 * replay.c - runs a fuzz target over the inputs kept in a folder, where libFuzzer is not linked in.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(1 << 24);
    size_t size;

    if (f == NULL || data == NULL) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    size = fread(data, 1, 1 << 24, f);
    fclose(f);
    /* an exact allocation lets the address sanitizer see an overread by one */
    uint8_t *exact = malloc(size > 0 ? size : 1);
    memcpy(exact, data, size);
    free(data);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

int main(int argc, char **argv)
{
    static const uint8_t nothing[1];
    int n = 0;

    LLVMFuzzerTestOneInput(nothing, 0);
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);

        for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
            char path[4096];

            if (e->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            replay_file(path);
            n++;
        }
        if (dir != NULL)
            closedir(dir);
    }
    printf("%d kept inputs replayed\n", n);
    return 0;
}
