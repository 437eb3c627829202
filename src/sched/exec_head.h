/*
 * exec_head.h - what the first bytes of a file say about running it: a program for which machine, a
 * script for which interpreter, text, or nothing that runs; and whether an entry of the kernel's
 * binfmt_misc takes it. Pure functions over bytes.
 */
#ifndef ONEOS_SCHED_EXEC_HEAD_H
#define ONEOS_SCHED_EXEC_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXEC_HEAD_BYTES 4096
#define SCRIPT_LINE     256 /* the kernel looks at so much of a #! line */

enum head_kind {
    HEAD_OTHER,  /* nothing that the kernel or a shell runs */
    HEAD_TEXT,   /* no NUL in it: a shell's, as every shell takes it; also an empty file */
    HEAD_SCRIPT, /* #! */
    HEAD_ELF,    /* a program */
    HEAD_OBJECT  /* ELF, but no program: an object file, a core dump */
};

/* Which machines a program is for: e_machine, class (ELFCLASS32, ELFCLASS64), byte order
 * (ELFDATA2LSB, ELFDATA2MSB). */
struct elf_kind {
    uint16_t machine;
    uint8_t class, order;
};

struct exec_head {
    enum head_kind kind;
    struct elf_kind elf; /* HEAD_ELF and HEAD_OBJECT */
    uint64_t phdrs;      /* where the program headers are in the file... */
    unsigned phdr_size, n_phdrs;
    char interpreter[SCRIPT_LINE]; /* HEAD_SCRIPT: never empty */
    char argument[SCRIPT_LINE];    /* the rest of its line, without blanks at its ends */
};

void exec_head_read(const uint8_t *p, size_t n, struct exec_head *h);

/* Finds the name of the dynamic linker: `p` is what stands at h->phdrs in the file, n bytes of it.
 * False: it has none there. */
bool exec_head_interp(const struct exec_head *h, const uint8_t *p, size_t n, uint64_t *offset,
                      uint64_t *size);

/* What uname calls a machine with such programs. Never NULL. */
const char *elf_kind_name(const struct elf_kind *k);

/* The kind by uname's name; false: not in the table. */
bool elf_kind_of(const char *uname, struct elf_kind *out);

/* Whether machines of the kind `host` run programs of kind `k`: surely, or most of them (32 bits on
 * 64): only the start can tell then. */
bool elf_kind_runs(const struct elf_kind *host, const struct elf_kind *k);

/* An entry of binfmt_misc. */
#define BINFMT_MAGIC 128
struct binfmt {
    bool enabled;
    bool open; /* flag F: its interpreter was opened when it was registered */
    char interpreter[256];
    char extension[64]; /* without the dot; empty: by magic */
    uint8_t magic[BINFMT_MAGIC], mask[BINFMT_MAGIC];
    size_t n; /* bytes of magic */
    size_t offset;
};

/* Reads the text of /proc/sys/fs/binfmt_misc/NAME, which it takes apart. False: it is no entry. */
bool binfmt_parse(char *text, struct binfmt *b);
bool binfmt_matches(const struct binfmt *b, const uint8_t *head, size_t n, const char *name);

#endif
