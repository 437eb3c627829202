# oneos-init needs nothing but base: it must stay small, since it is forked for every process.
libexec_PROGRAMS = oneos-init
oneos_init_SOURCES =
oneos_init_SOURCES += src/init/init.h src/init/main.c
oneos_init_SOURCES += src/init/proto.c src/init/proto.h
oneos_init_SOURCES += src/init/conn.c
oneos_init_SOURCES += src/init/proc.c
oneos_init_SOURCES += src/init/spawn.c
oneos_init_SOURCES += src/init/child.c
oneos_init_SOURCES += src/init/cgroup.c src/init/cgroup.h
oneos_init_LDADD = libbase.a
