/*
 * exec_head.c - reads the head of an executable file, as the kernel's loaders do.
 *
 * The bytes are anybody's: nothing is read behind n, and what does not fit is HEAD_OTHER, or has no
 * interpreter.
 */
#include "sched/exec_head.h"
#include "base/cleanup.h"

#include <elf.h>
#include <string.h>

#define TEXT_BYTES 256 /* as the child looks at, before it gives a file to a shell */

/* also: programs of this machine run there too, unless its kernel was built without. */
static const struct machine {
    struct elf_kind kind; /* order 0: both */
    const char *name;
    uint16_t also;
} machines[] = {
    { { EM_X86_64, ELFCLASS64, ELFDATA2LSB }, "x86_64", EM_386 },
    { { EM_X86_64, ELFCLASS32, ELFDATA2LSB }, "x32", 0 },
    { { EM_386, ELFCLASS32, ELFDATA2LSB }, "i686", 0 },
    { { EM_AARCH64, ELFCLASS64, ELFDATA2LSB }, "aarch64", EM_ARM },
    { { EM_AARCH64, ELFCLASS64, ELFDATA2MSB }, "aarch64_be", EM_ARM },
    { { EM_ARM, ELFCLASS32, 0 }, "arm", 0 },
    { { EM_RISCV, ELFCLASS64, ELFDATA2LSB }, "riscv64", 0 },
    { { EM_RISCV, ELFCLASS32, ELFDATA2LSB }, "riscv32", 0 },
    { { EM_PPC64, ELFCLASS64, ELFDATA2LSB }, "ppc64le", EM_PPC },
    { { EM_PPC64, ELFCLASS64, ELFDATA2MSB }, "ppc64", EM_PPC },
    { { EM_PPC, ELFCLASS32, 0 }, "ppc", 0 },
    { { EM_S390, ELFCLASS64, ELFDATA2MSB }, "s390x", EM_S390 },
    { { EM_S390, ELFCLASS32, ELFDATA2MSB }, "s390", 0 },
    { { EM_LOONGARCH, ELFCLASS64, ELFDATA2LSB }, "loongarch64", 0 },
    { { EM_MIPS, ELFCLASS64, 0 }, "mips64", EM_MIPS },
    { { EM_MIPS, ELFCLASS32, 0 }, "mips", 0 },
    { { EM_SPARCV9, ELFCLASS64, ELFDATA2MSB }, "sparc64", EM_SPARC },
    { { EM_SPARC, ELFCLASS32, ELFDATA2MSB }, "sparc", 0 },
    { { EM_PARISC, ELFCLASS32, ELFDATA2MSB }, "parisc", 0 },
    { { EM_ALPHA, ELFCLASS64, ELFDATA2LSB }, "alpha", 0 },
    { { EM_IA_64, ELFCLASS64, ELFDATA2LSB }, "ia64", 0 },
    { { EM_68K, ELFCLASS32, ELFDATA2MSB }, "m68k", 0 },
    { { EM_SH, ELFCLASS32, 0 }, "sh", 0 },
    { { EM_BPF, ELFCLASS64, 0 }, "bpf", 0 },
};

static const struct machine *machine_of(const struct elf_kind *k)
{
    for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
        const struct elf_kind *m = &machines[i].kind;

        if (m->machine == k->machine && m->class == k->class && (!m->order || m->order == k->order))
            return &machines[i];
    }
    return NULL;
}

const char *elf_kind_name(const struct elf_kind *k)
{
    const struct machine *m = machine_of(k);

    return m ? m->name : "a machine of another kind";
}

bool elf_kind_of(const char *uname, struct elf_kind *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
        if (!machines[i].kind.order || strcmp(machines[i].name, uname) != 0)
            continue;
        *out = machines[i].kind;
        return true;
    }
    return false;
}

bool elf_kind_runs(const struct elf_kind *host, const struct elf_kind *k)
{
    const struct machine *m = machine_of(host);

    if (host->order != k->order)
        return false;
    if (host->machine == k->machine && host->class == k->class)
        return true;
    return m && m->also == k->machine && k->class == ELFCLASS32;
}

/* ---- ELF */

static uint64_t get(const uint8_t *p, size_t size, uint8_t order)
{
    uint64_t v = 0;

    for (size_t i = 0; i < size; i++)
        v = v << 8 | p[order == ELFDATA2LSB ? size - 1 - i : i];
    return v;
}

#define GET(p, order, type, field)                                                                 \
    get((p) + offsetof(type, field), sizeof(((type *)NULL)->field), order)

static void read_elf(const uint8_t *p, size_t n, struct exec_head *h)
{
    struct elf_kind k = { .class = p[EI_CLASS], .order = p[EI_DATA] };
    bool wide = k.class == ELFCLASS64;
    uint64_t type;

    if ((!wide && k.class != ELFCLASS32) || (k.order != ELFDATA2LSB && k.order != ELFDATA2MSB) ||
        n < (wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
        return;
    type = GET(p, k.order, Elf64_Ehdr, e_type);
    k.machine = (uint16_t)GET(p, k.order, Elf64_Ehdr, e_machine);
    h->elf = k;
    h->kind = type == ET_EXEC || type == ET_DYN ? HEAD_ELF : HEAD_OBJECT;
    h->phdrs = wide ? GET(p, k.order, Elf64_Ehdr, e_phoff) : GET(p, k.order, Elf32_Ehdr, e_phoff);
    h->phdr_size = (unsigned)(wide ? GET(p, k.order, Elf64_Ehdr, e_phentsize)
                                   : GET(p, k.order, Elf32_Ehdr, e_phentsize));
    h->n_phdrs = (unsigned)(wide ? GET(p, k.order, Elf64_Ehdr, e_phnum)
                                 : GET(p, k.order, Elf32_Ehdr, e_phnum));
}

bool exec_head_interp(const struct exec_head *h, const uint8_t *p, size_t n, uint64_t *offset,
                      uint64_t *size)
{
    bool wide = h->elf.class == ELFCLASS64;
    uint8_t order = h->elf.order;

    if (h->kind != HEAD_ELF || h->phdr_size != (wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
        return false;
    for (unsigned i = 0; i < h->n_phdrs && n >= h->phdr_size; i++) {
        if (GET(p, order, Elf64_Phdr, p_type) == PT_INTERP) {
            *offset =
                wide ? GET(p, order, Elf64_Phdr, p_offset) : GET(p, order, Elf32_Phdr, p_offset);
            *size =
                wide ? GET(p, order, Elf64_Phdr, p_filesz) : GET(p, order, Elf32_Phdr, p_filesz);
            return true;
        }
        p += h->phdr_size;
        n -= h->phdr_size;
    }
    return false;
}

/* ---- scripts */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static void copy(char *to, const uint8_t *p, const uint8_t *end)
{
    memcpy(to, p, (size_t)(end - p));
    to[end - p] = '\0';
}

/* The kernel takes the first word, and all the rest as one. A NUL ends the line. */
static void read_script(const uint8_t *p, size_t n, struct exec_head *h)
{
    const uint8_t *end = p + (n < SCRIPT_LINE ? n : SCRIPT_LINE), *line_end, *word_end;
    bool whole = n < SCRIPT_LINE;

    p += 2;
    for (line_end = p; line_end < end && *line_end && *line_end != '\n'; line_end++)
        ;
    whole = whole || line_end < end;
    while (line_end > p && is_blank(line_end[-1]))
        line_end--;
    while (p < line_end && is_blank(*p))
        p++;
    for (word_end = p; word_end < line_end && !is_blank(*word_end); word_end++)
        ;
    if (p == word_end || (!whole && word_end == line_end))
        return; /* no interpreter, or one that is cut off: the kernel does not run it either */
    h->kind = HEAD_SCRIPT;
    copy(h->interpreter, p, word_end);
    while (word_end < line_end && is_blank(*word_end))
        word_end++;
    copy(h->argument, word_end, line_end);
}

void exec_head_read(const uint8_t *p, size_t n, struct exec_head *h)
{
    memset(h, 0, sizeof *h);
    if (n == 0 || !memchr(p, '\0', n < TEXT_BYTES ? n : TEXT_BYTES))
        h->kind = HEAD_TEXT;
    if (n >= EI_NIDENT && memcmp(p, ELFMAG, SELFMAG) == 0)
        read_elf(p, n, h);
    else if (n >= 2 && p[0] == '#' && p[1] == '!')
        read_script(p, n, h);
}

/* ---- binfmt_misc */

static int digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* The number of bytes; 0: these are none, or too many. */
static size_t read_hex(const char *text, uint8_t out[BINFMT_MAGIC])
{
    size_t n = 0;

    for (; *text; text += 2) {
        int high = digit(text[0]), low = high < 0 ? -1 : digit(text[1]);

        if (low < 0 || n == BINFMT_MAGIC)
            return 0;
        out[n++] = (uint8_t)(high << 4 | low);
    }
    return n;
}

static const char *behind(const char *line, const char *word)
{
    size_t n = strlen(word);

    return strncmp(line, word, n) == 0 ? line + n : NULL;
}

static bool copy_text(char *to, size_t size, const char *text)
{
    size_t n = strlen(text);

    if (n >= size)
        return false;
    memcpy(to, text, n + 1);
    return true;
}

static bool take_line(struct binfmt *b, const char *line)
{
    const char *rest;

    if (strcmp(line, "enabled") == 0)
        b->enabled = true;
    else if ((rest = behind(line, "interpreter ")) != NULL)
        return copy_text(b->interpreter, sizeof b->interpreter, rest);
    else if ((rest = behind(line, "flags: ")) != NULL)
        b->open = strchr(rest, 'F') != NULL;
    else if ((rest = behind(line, "extension .")) != NULL)
        return copy_text(b->extension, sizeof b->extension, rest);
    else if ((rest = behind(line, "offset ")) != NULL)
        b->offset = strtoul(rest, NULL, 10);
    else if ((rest = behind(line, "magic ")) != NULL)
        return (b->n = read_hex(rest, b->magic)) > 0;
    else if ((rest = behind(line, "mask ")) != NULL)
        return read_hex(rest, b->mask) == b->n;
    return true;
}

bool binfmt_parse(char *text, struct binfmt *b)
{
    char *next;

    memset(b, 0, sizeof *b);
    memset(b->mask, 0xff, sizeof b->mask);
    for (char *line = text; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        if (!take_line(b, line))
            return false;
    }
    return b->interpreter[0] && (b->n || b->extension[0]);
}

bool binfmt_matches(const struct binfmt *b, const uint8_t *head, size_t n, const char *name)
{
    const char *dot = strrchr(name, '.');

    if (!b->enabled)
        return false;
    if (!b->n)
        return dot && strcmp(dot + 1, b->extension) == 0;
    if (b->offset > n || b->n > n - b->offset)
        return false;
    for (size_t i = 0; i < b->n; i++)
        if ((head[b->offset + i] ^ b->magic[i]) & b->mask[i])
            return false;
    return true;
}
