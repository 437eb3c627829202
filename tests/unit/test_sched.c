/*
 * test_sched.c - where the scheduler puts jobs: each rule, by what it asks for.
 */
#include "tests/unit/sched_kit.h"

static void idle_system(void **state)
{
    (void)state;
    world_machine(&w, "A", 2, 1024, NULL);
    world_job(&w, NULL, "ann", "A", "{'run':'true'}");
    go_log("place 1 A\n");
    world_end(&w, "1", 0);
    go_log("");
    WHY_HAS("1", "it ended with exit 0; it ran on A");
    assert_string_equal(world_why(&w, "2"), "none");
}

static void spread_and_pack(void **state)
{
    (void)state;
    world_machine(&w, "B", 4, 1024, NULL);
    world_machine(&w, "A", 4, 1024, NULL);
    world_machine(&w, "C", 2, 1024, NULL);
    for (int i = 0; i < 4; i++)
        world_job(&w, NULL, "ann", "Z", "{'run':'true'}");
    go_log("place 1 A\nplace 2 B\nplace 3 C\nplace 4 A\n");
    for (int i = 0; i < 3; i++)
        world_job(&w, NULL, "ann", "Z", "{'run':'true','place':'pack'}");
    go_log("place 5 A\nplace 6 A\nplace 7 B\n");
}

/* What is promised counts, be it less than a core; what is measured, in whole cores. */
static void parts_of_a_core_are_spread(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_machine(&w, "B", 4, 1024, NULL);
    sched_load(w.s, "A", 900);
    for (int i = 0; i < 4; i++)
        world_job(&w, NULL, "ann", "Z", "{'run':'true','cpus':0.3}");
    go_log("place 1 A\nplace 2 B\nplace 3 A\nplace 4 B\n");
}

static void submitter_of_equal_ones(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_machine(&w, "B", 4, 1024, NULL);
    world_job(&w, NULL, "ann", "B", "{'run':'true'}");
    world_job(&w, NULL, "ann", "B", "{'run':'true'}");
    go_log("place 1 B\nplace 2 A\n");
}

static void load_counts(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_machine(&w, "B", 4, 1024, NULL);
    sched_load(w.s, "A", 2500);
    world_job(&w, NULL, "ann", "A", "{'run':'true'}");
    go_log("place 1 B\n");
}

static const char *on_b(const char *path)
{
    return strncmp(path, "/oneos/fs/b", 11) == 0 ? "B" : NULL;
}

static void data_and_files(void **state)
{
    (void)state;
    w.near = on_b;
    world_machine(&w, "A", 4, 1024, NULL);
    world_machine(&w, "B", 2, 1024, NULL);
    for (int i = 0; i < 3; i++)
        world_job(&w, NULL, "ann", "A", "{'run':'wc','near':'/oneos/fs/b/data'}");
    go_log("place 1 B\nplace 2 B\nplace 3 A\n");
    world_end(&w, "1", 0);
    world_end(&w, "2", 0);
    world_job(&w, NULL, "ann", "A", "{'run':'wc < /tmp/x'}");
    world_job(&w, NULL, "ann", "A", "{'run':'@B wc < /tmp/x'}");
    world_job(&w, NULL, "ann", "A", "{'run':'wc < /oneos/fs/x'}");
    go_log("place 4 A\nplace 5 B / B A\nplace 6 B\n");
}

/* The machine that has the data is asked, too, and its answer waited for; but not for ever. */
static void what_has_the_data_is_waited_for(void **state)
{
    (void)state;
    w.near = on_b;
    w.mute = true;
    world_machine(&w, "A", 4, 1024, NULL);
    world_machine(&w, "B", 4, 1024, NULL);
    world_job(&w, NULL, "ann", "A", "{'run':'wc','near':'/oneos/fs/b/data'}");
    go_log("");
    sched_probed(w.s, 1, 0, NULL);
    go_log("");
    sched_probed(w.s, 2, 0, NULL);
    go_log("place 1 B\n");
    world_job(&w, NULL, "ann", "A", "{'run':'tr','near':'/oneos/fs/b/data'}");
    go_log("");
    sched_probed(w.s, 3, 0, NULL);
    world_pass(&w, 4900);
    assert_string_equal(world_log(&w), "");
    world_pass(&w, 200);
    assert_string_equal(world_log(&w), "place 2 A\n");
}

static void files_need_their_machine(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_machine(&w, "B", 4, 1024, NULL);
    world_health(&w, "B", SCHED_DEAD);
    world_job(&w, NULL, "ann", "B", "{'run':'wc < /tmp/x'}");
    go_log("");
    WHY_HAS("1", "no machine can run it as they are now\n");
    WHY_HAS("1", "its < or > is a file of B, which is dead");
    world_health(&w, "B", SCHED_ALIVE);
    go_log("place 1 B\n");
}

static void promised(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_job(&w, NULL, "ann", "A", "{'run':'true','cpus':2.5,'memory':100}");
    world_job(&w, NULL, "ann", "A", "{'run':'true','cpus':1.5,'memory':1073741724}");
    world_job(&w, NULL, "ann", "A", "{'run':'true','cpus':0.5}");
    go_log("place 1 A\nplace 2 A\n");
    WHY_HAS("3", "A: 0 of 4 cores are free, 0.5 are wanted");
    WHY_HAS("3", "0.5 cores are next free on A when jobs there have ended");
    WHY_HAS("3", "it is the next one");
    world_end(&w, "2", 0);
    go_log("place 3 A\n");
}

static void memory_is_promised(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_job(&w, NULL, "ann", "A", "{'run':'true','memory':1073741823}");
    world_job(&w, NULL, "ann", "A", "{'run':'true','memory':2}");
    go_log("place 1 A\n");
    WHY_HAS("2", "A: 1B of 1GiB of memory are free, 2B are wanted");
    world_end(&w, "1", 1);
    go_log("place 2 A\n");
}

static void too_large(void **state)
{
    (void)state;
    world_machine(&w, "A", 2, 1024, NULL);
    world_job(&w, NULL, "ann", "A", "{'run':'true','cpus':3}");
    world_job(&w, NULL, "ann", "A", "{'run':'true','memory':2147483648}");
    go_log("");
    WHY_HAS("1", "no machine can run it as they are now\nA: has 2 cores, 3 are wanted\n");
    WHY_HAS("2", "A: has 1GiB of memory, 2GiB are wanted\n");
    world_machine(&w, "B", 4, 4096, NULL);
    go_log("place 1 B\nplace 2 B\n");
}

static void selectors(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, "zone=attic");
    world_machine(&w, "B", 4, 1024, "zone=lab gpu");
    world_job(&w, NULL, "ann", "A", "{'run':'@gpu true'}");
    world_job(&w, NULL, "ann", "A", "{'run':'@here true'}");
    world_job(&w, NULL, "ann", "A", "{'run':'@!here true'}");
    world_job(&w, NULL, "ann", "B", "{'run':'@here true'}");
    world_job(&w, NULL, "ann", "A", "{'run':'@zone=cellar true'}");
    go_log("place 1 B\nplace 2 A\nplace 3 B\nplace 4 B\n");
    WHY_HAS("5", "no machine can run it as they are now\nA: zone is attic, not cellar\n"
                 "B: zone is lab, not cellar\n");
    world_machine(&w, "C", 4, 1024, "zone=cellar");
    go_log("place 5 C\n");
}

static void counted_labels(void **state)
{
    (void)state;
    world_machine(&w, "A", 8, 1024, "gpus=2");
    world_machine(&w, "B", 8, 1024, NULL);
    for (int i = 0; i < 3; i++)
        world_job(&w, NULL, "ann", "B", "{'run':'@gpus>=1 true'}");
    world_job(&w, NULL, "ann", "B", "{'run':'@cores>=8 true'}");
    go_log("place 1 A\nplace 2 A\nplace 4 B\n");
    WHY_HAS("3", "A: 0 of its gpus are free, 1 wanted\nB: has no label gpus");
    world_end(&w, "1", 0);
    go_log("place 3 A\n");
}

static void closed_machines(void **state)
{
    (void)state;
    world_machine(&w, "A", 2, 1024, NULL);
    world_machine(&w, "B", 2, 1024, NULL);
    world_machine(&w, "C", 2, 1024, NULL);
    world_machine(&w, "D", 2, 1024, NULL);
    world_machine(&w, "E", 2, 1024, NULL);
    world_health(&w, "A", SCHED_SUSPECT);
    world_drain(&w, "B", true);
    sched_runner(w.s, "C", 0, false);
    sched_runner(w.s, "D", 9, true);
    world_health(&w, "E", SCHED_LEFT);
    world_job(&w, NULL, "ann", "A", "{'run':'true'}");
    go_log("");
    assert_string_equal(world_why(&w, "1"), "no machine can run it as they are now\n"
                                            "A: is silent\n"
                                            "B: is draining\n"
                                            "C: does not run jobs yet\n"
                                            "D: was given up, and has not begun anew yet\n"
                                            "E: has left\n");
    sched_machine_gone(w.s, "E");
    WHY_HAS("1", "E: is no member");
    world_drain(&w, "B", false);
    go_log("place 1 B\n");
}

/* ---- pipelines */

static void pipelines(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_machine(&w, "B", 4, 1024, "gpu");
    world_machine(&w, "C", 4, 1024, "lab");
    world_job(&w, NULL, "ann", "A", "{'run':'cat | sort | uniq'}");
    go_log("place 1 A A A\n");
    world_job(&w, NULL, "ann", "A", "{'run':'cat | @gpu sort | uniq'}");
    go_log("place 2 B B B\n");
    world_job(&w, NULL, "ann", "A", "{'run':'cat | @gpu sort | @lab uniq | wc'}");
    go_log("place 3 B B C C\n");
    world_job(&w, NULL, "ann", "A", "{'run':'@lab cat | @gpu sort | @lab uniq','cpus':2}");
    world_job(&w, NULL, "ann", "A", "{'run':'@lab cat | @gpu sort','cpus':3}");
    go_log("place 4 C B C\n");
    WHY_HAS("5", "C: for `sort`: has no label gpu");
}

static void pipeline_twice_on_one(void **state)
{
    (void)state;
    world_machine(&w, "B", 4, 1024, "gpu");
    world_machine(&w, "C", 4, 1024, "lab");
    world_job(&w, NULL, "ann", "B", "{'run':'@lab cat | @gpu sort | @lab uniq','cpus':4}");
    go_log("place 1 C B C\n");
    world_job(&w, NULL, "ann", "B", "{'run':'@lab true'}");
    go_log("");
    world_end(&w, "1", 0);
    go_log("place 2 C\n");
}

static void groups_end_apart(void **state)
{
    struct world_job *j;
    struct sched_allocation a;

    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_machine(&w, "B", 4, 1024, "gpu");
    world_drain(&w, "B", false);
    j = world_job(&w, NULL, "ann", "A", "{'run':'@A cat | @gpu sort','cpus':3}");
    go_log("place 1 A B\n");
    j->r.groups[0].end = (struct job_end){ .cause = JOB_EXITED };
    world_tell(&w, j);
    sched_allocated(w.s, "A", &a);
    assert_int_equal(a.cpu_milli, 0);
    sched_allocated(w.s, "B", &a);
    assert_int_equal(a.cpu_milli, 3000);
    assert_int_equal(a.groups, 1);
    sched_allocated(w.s, "none", &a);
    assert_int_equal(a.cpu_milli, 0);
}

/* ---- what executables need */

static int only_b(void *arg, const char *machine, const struct sched_need *need, const char **words)
{
    (void)arg;
    if (strcmp(need->command, "foo") == 0 && strcmp(machine, "B") != 0) {
        *words = "there is no command foo";
        return 127;
    }
    if (strcmp(need->command, "./x") == 0) {
        *words = strcmp(machine, "B") == 0 ? "./x is for arm64" : "there is no ./x";
        return strcmp(machine, "B") == 0 ? 126 : 127;
    }
    if (strcmp(need->command, "none") == 0) {
        *words = "there is no command none";
        return 127;
    }
    return 0;
}

static void where_it_can_run(void **state)
{
    (void)state;
    w.can = only_b;
    world_machine(&w, "A", 4, 1024, NULL);
    world_machine(&w, "B", 1, 1024, NULL);
    world_job(&w, NULL, "ann", "A", "{'run':'foo'}");
    go_log("probe A ann foo\nprobe B ann foo\nplace 1 B\n");
    world_job(&w, NULL, "ann", "A", "{'run':'foo'}");
    go_log("");
    WHY_HAS("2", "A: there is no command foo\nB: 0 of 1 core is free, 1 is wanted");
    world_job(&w, NULL, "ann", "A", "{'run':'@A foo'}");
    /* The no is older than the job: it is asked again before it is refused. */
    world_pass(&w, 10);
    world_log(&w);
    world_job(&w, NULL, "ann", "A", "{'run':'@A foo'}");
    go_log("probe A ann foo\nrefuse 4 127 there is no command foo\n");
    world_job(&w, NULL, "bob", "A", "{'run':'cat | foo'}");
    go_log("probe A bob cat\nprobe B bob cat\nprobe A bob foo\nprobe B bob foo\n");
    WHY_HAS("5", "A: for `foo`: there is no command foo");
    world_end(&w, "1", 0);
    go_log("place 2 B\n");
}

static void nobody_can(void **state)
{
    (void)state;
    w.can = only_b;
    world_machine(&w, "A", 4, 1024, NULL);
    world_machine(&w, "B", 4, 1024, NULL);
    world_machine(&w, "C", 4, 1024, NULL);
    world_health(&w, "C", SCHED_DEAD);
    world_job(&w, NULL, "ann", "A", "{'run':'none'}");
    go_log("probe A ann none\nprobe B ann none\nrefuse 1 127 there is no command none\n");
    WHY_HAS("1", "it could not be started, exit 127: there is no command none");
    world_job(&w, NULL, "ann", "A", "{'run':'./x','cwd':'/tmp'}");
    go_log("probe A ann ./x\nprobe B ann ./x\n"
           "refuse 2 126 A: there is no ./x; B: ./x is for arm64\n");
}

static int by_name(void *arg, const char *machine, const struct sched_need *need,
                   const char **words)
{
    static char text[100];

    (void)arg;
    if (need->command[0] == '/')
        snprintf(text, sizeof text, "%s is missing on %s", need->command, machine);
    else
        snprintf(text, sizeof text, "%s has no command '%s'", machine, need->command);
    *words = text;
    return 127;
}

static int only_a_b(void *arg, const char *machine, const struct sched_need *need,
                    const char **words)
{
    return strcmp(machine, "C") == 0 ? 0 : by_name(arg, machine, need, words);
}

/* Words that name the machine already. */
static void named_once(void **state)
{
    (void)state;
    w.can = by_name;
    world_machine(&w, "A", 4, 1024, NULL);
    world_machine(&w, "B", 4, 1024, NULL);
    world_job(&w, NULL, "ann", "A", "{'run':'none'}");
    go_log("probe A ann none\nprobe B ann none\n"
           "refuse 1 127 A has no command 'none'; B has no command 'none'\n");
    world_job(&w, NULL, "ann", "A", "{'run':'/none'}");
    go_log("probe A ann /none\nprobe B ann /none\n"
           "refuse 2 127 /none is missing on A; /none is missing on B\n");
    w.can = only_a_b;
    world_machine(&w, "C", 1, 1024, NULL);
    world_job(&w, NULL, "ann", "A", "{'run':'none','cpus':2}");
    go_log("probe C ann none\n");
    WHY_HAS("3", "A B: has no command 'none'\n");
}

static void no_answer(void **state)
{
    (void)state;
    w.mute = true;
    world_machine(&w, "A", 4, 1024, NULL);
    world_job(&w, NULL, "ann", "A", "{'run':'true'}");
    world_go(&w);
    assert_int_equal(w.probes, 1);
    WHY_HAS("1", "machines are being asked whether they can run it\n"
                 "A: has not said yet whether it can run true");
    world_pass(&w, 4999);
    assert_int_equal(w.probes, 1);
    w.mute = false;
    world_pass(&w, 2);
    assert_int_equal(w.probes, 2);
    assert_string_equal(world_log(&w), "place 1 A\n");
}

static void yes_until_not_begun(void **state)
{
    (void)state;
    world_machine(&w, "A", 4, 1024, NULL);
    world_job(&w, NULL, "ann", "A", "{'run':'true'}");
    world_job(&w, NULL, "ann", "A", "{'run':'true'}");
    world_go(&w);
    assert_int_equal(w.probes, 1);
    world_end_job(&w, world_job_of(&w, "1"), JOB_NOT_BEGUN, 127);
    world_job(&w, NULL, "ann", "A", "{'run':'true'}");
    world_go(&w);
    assert_int_equal(w.probes, 2);
    world_find(&w, "A")->incarnation++;
    world_health(&w, "A", SCHED_ALIVE);
    world_job(&w, NULL, "ann", "A", "{'run':'true'}");
    world_go(&w);
    assert_int_equal(w.probes, 3);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
    const struct CMUnitTest tests[] = {
        TEST(idle_system),
        TEST(spread_and_pack),
        TEST(parts_of_a_core_are_spread),
        TEST(submitter_of_equal_ones),
        TEST(load_counts),
        TEST(data_and_files),
        TEST(what_has_the_data_is_waited_for),
        TEST(files_need_their_machine),
        TEST(promised),
        TEST(memory_is_promised),
        TEST(too_large),
        TEST(selectors),
        TEST(counted_labels),
        TEST(closed_machines),
        TEST(pipelines),
        TEST(pipeline_twice_on_one),
        TEST(groups_end_apart),
        TEST(where_it_can_run),
        TEST(nobody_can),
        TEST(named_once),
        TEST(no_answer),
        TEST(yes_until_not_begun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
