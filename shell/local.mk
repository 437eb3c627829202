# oneos, the client: libc, and small libraries that cost nothing at its start.
bin_PROGRAMS += oneos
oneos_LDADD = libbase.a $(INIH_LIBS) $(JANSSON_LIBS)
oneos_SOURCES = shell/main.c shell/shell.h shell/commands.h
oneos_SOURCES += shell/mount.c shell/files.c shell/pump.c shell/table.c shell/wait_line.c
oneos_SOURCES += shell/run.c shell/run.h shell/run_io.c shell/run_signals.c
oneos_SOURCES += shell/ps.c shell/machines.c shell/pipes.c
oneos_SOURCES += shell/kill.c shell/wait.c shell/logs.c
oneos_SOURCES += shell/log.c shell/status.c shell/doctor.c
oneos_SOURCES += shell/token.c shell/verbs.c shell/label.c
