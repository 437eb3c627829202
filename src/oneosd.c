/*
 * oneosd.c - the daemon's main: options, going to the background, telling that it is ready.
 *
 * The parent waits on a pipe for the child's word, so that its exit status says whether the system
 * is up: 0 and it runs, or a sentence on standard error and 64, 69, 77 or 78.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/options.h"
#include "base/units.h"
#include "config.h"
#include "daemon.h"
#include "tree/labels.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

/* "ADDR", "ADDR:PORT", ":PORT", "[V6]:PORT" */
static int parse_listen(const char *text, char address[64], uint16_t *port, struct oerr *e)
{
    const char *close = *text == '[' ? strchr(text, ']') : NULL;
    const char *colon = close                                     ? strchr(close, ':')
                        : strchr(text, ':') == strrchr(text, ':') ? strchr(text, ':')
                                                                  : NULL;
    const char *from = close ? text + 1 : text, *end = close   ? close
                                                       : colon ? colon
                                                               : text + strlen(text);
    unsigned char raw[16];
    long number = 0;
    char *rest;

    if (colon) {
        number = strtol(colon + 1, &rest, 10);
        if (*rest || number < 1 || number > 65533)
            return oerr_set(e, -EINVAL, "'%s' is no port from 1 to 65533", colon + 1);
    }
    if (end - from >= 64)
        return oerr_set(e, -EINVAL, "that is no numeric address");
    snprintf(address, 64, "%.*s", (int)(end - from), from);
    if (*address && inet_pton(AF_INET, address, raw) != 1 && inet_pton(AF_INET6, address, raw) != 1)
        return oerr_set(e, -EINVAL, "'%s' is no numeric address", address);
    *port = (uint16_t)number;
    return 0;
}

static int check_listen(const char *value, struct oerr *e)
{
    char address[64];
    uint16_t port;

    return parse_listen(value, address, &port, e);
}

static int check_level(const char *value, struct oerr *e)
{
    if (log_level_parse(value) < 0)
        return oerr_set(e, -EINVAL, "'%.40s' is not error, warn, info or debug", value);
    return 0;
}

static int check_ready_fd(const char *value, struct oerr *e)
{
    char *end;
    long fd = strtol(value, &end, 10);

    if (!isdigit((unsigned char)*value) || *end || fd > INT_MAX)
        return oerr_set(e, -EINVAL, "'%.40s' is not the number of a descriptor", value);
    if (fcntl((int)fd, F_GETFD) < 0)
        return oerr_set(e, -EINVAL, "descriptor %ld is not open", fd);
    return 0;
}

#define OUTPUT_LIMIT_MIN 65536

static int check_output_limit(const char *value, struct oerr *e)
{
    uint64_t bytes;
    int rc = units_size(value, &bytes, e);

    if (rc == 0 && bytes < OUTPUT_LIMIT_MIN)
        return oerr_set(e, -EINVAL, "the least that can be kept of an output is 64KiB, not '%.40s'",
                        value);
    return rc;
}

static int check_label(const char *value, struct oerr *e)
{
    json_t *labels = json_object();
    int rc = labels_assign(labels, value, e);

    json_decref(labels);
    return rc;
}

static const struct option_row rows[] = {
    { .name = "state",
      .arg = "DIR",
      .help = "where keys and processes are kept (~/.oneos; of root's service /var/lib/oneos)" },
    { .name = "mount",
      .arg = "DIR",
      .help = "where to mount (/oneos, else below the state folder)",
      .negatable = true },
    { .name = "cluster-key",
      .arg = "FILE",
      .help = "the key that machines share (STATE/cluster.key); made when missing" },
    { .name = "join", .arg = "HOST[:PORT],...", .help = "machines that multicast does not reach" },
    { .name = "listen",
      .arg = "ADDR[:PORT]",
      .help = "the address to listen at, and the first of three ports",
      .check = check_listen },
    { .name = "token", .arg = "TOKEN", .help = "join by a token that `oneos token` made" },
    { .name = "label",
      .letter = 'l',
      .arg = "K[=V]",
      .help = "label this machine; may be repeated",
      .many = true,
      .check = check_label },
    { .name = "web",
      .arg = "ADDR:PORT",
      .help = "where to serve the page (not in this version)",
      .negatable = true },
    { .name = "output-limit",
      .arg = "SIZE",
      .help = "what is kept of each output of a process, its newest bytes (64MiB)",
      .check = check_output_limit },
    { .name = "replicas", .arg = "N", .help = "copies of each file (not in this version)" },
    { .name = "foreground", .letter = 'f', .help = "stay in the foreground" },
    { .name = "handover", .help = "when stopped, leave the processes running for the next daemon" },
    { .name = "ready-fd",
      .arg = "N",
      .help = "write a line to this descriptor when ready",
      .flag_only = true,
      .check = check_ready_fd },
    { .name = "log-level",
      .arg = "LEVEL",
      .help = "error, warn, info (the default) or debug",
      .check = check_level },
    { 0 },
};

static const struct options_spec spec = {
    .program = "oneosd",
    .usage = "[ID] [OPTIONS]",
    .about = "Makes this machine part of a OneOS system, and mounts it.",
    .rows = rows,
    .lenient = true,
};

static int fail(int status, const char *text)
{
    fprintf(stderr, "oneosd: %s\n", text);
    return status;
}

/* oneos-init beside this program (a build tree), else where it is installed. */
static void find_program(char *path, size_t size)
{
    char self[2048];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    if (n > 0) {
        self[n] = '\0';
        slash = strrchr(self, '/');
        if (slash) {
            *slash = '\0';
            snprintf(path, size, "%s/oneos-init", self);
            if (access(path, X_OK) == 0)
                return;
        }
    }
    snprintf(path, size, "%s/oneos-init", ONEOS_LIBEXECDIR);
}

static void default_state(char *path, size_t size)
{
    const char *home = getenv("HOME");
    struct passwd *pw = home && *home ? NULL : getpwuid(geteuid());

    if (!home || !*home)
        home = pw ? pw->pw_dir : "/var/lib";
    if (getenv("NOTIFY_SOCKET") && geteuid() == 0)
        snprintf(path, size, "/var/lib/oneos");
    else
        snprintf(path, size, "%s/.oneos", home);
}

/* sd_notify(3), by its protocol. */
static void notify_systemd(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    cleanup_close int fd = -1;

    if (!path || strlen(path) >= sizeof to.sun_path)
        return;
    strcpy(to.sun_path, path);
    if (*path == '@')
        to.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&to,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
}

static void tell_ready(const struct options *o, const struct daemon *d)
{
    const char *fd = options_get(o, "ready-fd");

    if (fd) {
        dprintf(atoi(fd), "ready %s %s\n", daemon_id(d), daemon_mount(d));
        close(atoi(fd));
    }
    notify_systemd();
}

/* The parent's side of going to the background: the child's word is its exit status. One that
 * failed has let go of all that it had when this returns. */
static int await_child(pid_t child, int fd)
{
    unsigned char status = 69;

    if (read(fd, &status, 1) != 1)
        status = (unsigned char)fail(69, "the daemon ended before it was ready; its log says why");
    if (status != 0)
        waitpid(child, NULL, 0);
    return status;
}

/* Forks; the child goes on with the pipe's end to write its status to. */
static int go_background(int *word)
{
    int ends[2], null;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail(69, strerror(errno));
    pid = fork();
    if (pid < 0)
        return fail(69, strerror(errno));
    if (pid > 0) {
        close(ends[1]);
        _exit(await_child(pid, ends[0]));
    }
    close(ends[0]);
    setsid();
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, 0);
    dup2(null, 1);
    *word = ends[1];
    return 0;
}

static void open_log(const struct daemon_options *opt, bool foreground, int level)
{
    char path[4200];
    int fd = 2;

    if (!foreground) {
        mkdir(opt->state, 0700);
        snprintf(path, sizeof path, "%s/oneosd%s%s.log", opt->state, opt->id ? "." : "",
                 opt->id ? opt->id : "");
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    log_to(fd, (enum log_level)level);
}

static int run(const struct options *o, const struct daemon_options *opt, int level)
{
    bool foreground = options_on(o, "foreground");
    struct daemon *d = NULL;
    struct oerr e = { "" };
    int word = -1, rc, null;
    unsigned char status;

    if (!foreground && (rc = go_background(&word)) != 0)
        return rc;
    open_log(opt, foreground, level);
    rc = daemon_create(&d, opt, &e);
    status = rc < 0 ? (unsigned char)daemon_exit_status(rc) : 0;
    if (rc < 0) {
        fail(status, e.text[0] ? e.text : strerror(-rc));
    } else {
        if (daemon_mount(d)[0] && !opt->mount && strcmp(daemon_mount(d), "/oneos") != 0)
            fprintf(stderr, "oneosd: /oneos is not free; mounted at %s\n", daemon_mount(d));
        if (!daemon_await_ready(d, &e))
            fprintf(stderr, "oneosd: %s\n", e.text);
        tell_ready(o, d);
    }
    if (word >= 0) {
        while (write(word, &status, 1) < 0 && errno == EINTR)
            ;
        close(word);
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, 2);
    }
    if (rc == 0)
        daemon_run(d);
    daemon_destroy(d);
    return status;
}

/* One descriptor a process and a channel: as many as are allowed. */
static void raise_limits(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int fill(const struct options *o, int argc, char **argv, struct daemon_options *opt,
                char address[64], struct oerr *e)
{
    int at = options_operands(o), rc = 0;

    if (argc - at > 1)
        return oerr_set(e, -EINVAL, "one ID at most, not also '%s'", argv[at + 1]);
    opt->id = at < argc ? argv[at] : NULL;
    if (options_get(o, "state"))
        opt->state = options_get(o, "state");
    opt->mount = options_get(o, "mount");
    opt->no_mount = options_off(o, "mount");
    opt->cluster_key = options_get(o, "cluster-key");
    opt->join = options_get(o, "join");
    opt->token = options_get(o, "token");
    opt->labels = options_all(o, "label", &opt->n_labels);
    opt->handover = options_on(o, "handover");
    if (options_get(o, "output-limit"))
        units_size(options_get(o, "output-limit"), &opt->output_limit, NULL);
    if (options_get(o, "listen"))
        rc = parse_listen(options_get(o, "listen"), address, &opt->port, e);
    opt->listen = address[0] ? address : NULL;
    return rc;
}

/* Whoever lists this machine's processes must not read a token that lets in. */
static void hide_token(int argc, char **argv, const char *token)
{
    for (int i = 1; token && *token && i < argc; i++) {
        char *at = strstr(argv[i], token);

        if (at)
            memset(at, 'x', strlen(at));
    }
}

int main(int argc, char **argv)
{
    struct daemon_options opt = { 0 };
    char state[4096], program[PATH_MAX], address[64] = "";
    struct options *o = NULL;
    struct oerr e = { "" };
    struct obuf help = { 0 };
    int level = LOG_INFO, rc;

    signal(SIGPIPE, SIG_IGN);
    umask(077);
    default_state(state, sizeof state);
    find_program(program, sizeof program);
    opt.state = state;
    opt.program = program;
    rc = options_read(&o, &spec, argc, argv, &e);
    if (rc < 0)
        return fail(options_exit_status(rc), e.text);
    hide_token(argc, argv, options_get(o, "token"));
    if (options_wants_help(o) || options_wants_version(o)) {
        if (options_wants_help(o))
            options_help(&spec, &help);
        else
            obuf_printf(&help, "oneosd %s\n", PACKAGE_VERSION);
        fputs(help.p ? help.p : "", stdout);
        obuf_free(&help);
        options_free(o);
        return 0;
    }
    rc = fill(o, argc, argv, &opt, address, &e);
    if (options_get(o, "log-level"))
        level = log_level_parse(options_get(o, "log-level"));
    if (rc == 0) {
        raise_limits();
        rc = run(o, &opt, level);
    } else {
        rc = fail(64, e.text);
    }
    options_free(o);
    return rc;
}
