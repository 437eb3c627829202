# oneos, the client. Where there is musl, `oneos` is a small static program that starts fast, has
# `run`, and becomes oneos-client for the rest (shell/only_run.c).
client_sources = shell/main.c shell/shell.h shell/commands.h
client_sources += shell/mount.c shell/files.c shell/pump.c shell/wait_line.c
client_sources += shell/run.c shell/run.h shell/run_request.c shell/run_io.c shell/run_signals.c

all_sources = $(client_sources) shell/all.c shell/table.c shell/table.h
all_sources += shell/ps.c shell/machines.c shell/pipes.c shell/services.c
all_sources += shell/kill.c shell/wait.c shell/logs.c
all_sources += shell/log.c shell/status.c shell/registry.c
all_sources += shell/doctor.c shell/doctor_tree.c shell/doctor.h
all_sources += shell/jobs.c shell/job_verbs.c shell/top.c
all_sources += shell/each.c shell/each_select.c shell/each.h
all_sources += shell/token.c shell/verbs.c shell/label.c

bin_PROGRAMS += oneos
if MUSL
oneos_SOURCES = $(client_sources) shell/only_run.c
oneos_SOURCES += src/base/err.c src/base/buf.c src/base/words.c src/base/units.c
oneos_SOURCES += src/base/options.c src/base/options_environment.c
oneos_CFLAGS = $(ONEOS_CFLAGS) $(MUSL_CFLAGS)
oneos_LDFLAGS = -static
libexec_PROGRAMS += oneos-client
oneos_client_SOURCES = $(all_sources)
oneos_client_LDADD = libsched.a libbase.a $(INIH_LIBS) $(JANSSON_LIBS)
else
oneos_SOURCES = $(all_sources)
oneos_CFLAGS = $(AM_CFLAGS)
oneos_LDFLAGS = $(AM_LDFLAGS)
oneos_LDADD = libsched.a libbase.a $(INIH_LIBS) $(JANSSON_LIBS)
endif
EXTRA_DIST += shell/only_run.c
