/*
 * fuzz_exec_head.c - the head of an executable file, and entries of binfmt_misc: whatever the bytes
 * are, nothing is read behind them, and what comes out is well formed.
 */
#include "sched/exec_head.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_head(const struct exec_head *h)
{
    if (!memchr(h->interpreter, '\0', sizeof h->interpreter) ||
        !memchr(h->argument, '\0', sizeof h->argument) ||
        (h->kind == HEAD_SCRIPT) != (h->interpreter[0] != '\0') || strpbrk(h->interpreter, " \t\n"))
        abort();
    if (!elf_kind_name(&h->elf) || (h->kind == HEAD_ELF && !elf_kind_runs(&h->elf, &h->elf)))
        abort();
}

static void read_entry(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1);
    struct binfmt b;

    if (!text)
        return;
    memcpy(text, data, n);
    text[n] = '\0';
    if (binfmt_parse(text, &b)) {
        if (!b.interpreter[0] || b.n > BINFMT_MAGIC || (!b.n && !b.extension[0]))
            abort();
        binfmt_matches(&b, data, n, "a.exe");
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct exec_head h;
    uint64_t offset, size;

    exec_head_read(data, n, &h);
    check_head(&h);
    if (h.phdrs <= n && exec_head_interp(&h, data + h.phdrs, n - h.phdrs, &offset, &size) &&
        h.kind != HEAD_ELF)
        abort();
    read_entry(data, n);
    return 0;
}
