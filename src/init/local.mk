# oneos-init needs nothing but base: it must stay small, since it is forked for every process.
libexec_PROGRAMS = oneos-init
oneos_init_SOURCES =
oneos_init_SOURCES += src/init/init.h src/init/main.c
oneos_init_SOURCES += src/init/proto.c src/init/proto.h src/init/cursor.h
oneos_init_SOURCES += src/init/spec.c
oneos_init_SOURCES += src/init/conn.c
oneos_init_SOURCES += src/init/proc.c
oneos_init_SOURCES += src/init/spawn.c
oneos_init_SOURCES += src/init/child.c
oneos_init_SOURCES += src/init/doom.c
oneos_init_SOURCES += src/init/kin.c
oneos_init_SOURCES += src/init/lease.c
oneos_init_SOURCES += src/init/cgroup.c src/init/cgroup.h
oneos_init_LDADD = libbase.a
# Each child would resolve what it calls anew, between fork and exec.
oneos_init_LDFLAGS = $(AM_LDFLAGS) -Wl,-z,now
