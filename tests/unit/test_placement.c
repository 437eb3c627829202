/*
 * test_placement.c - the rules of placement, a case each.
 */
#include "cluster/placement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { FILESYSTEM, SCHEDULER, SHELL, WEB, SERVICES };

static struct place_machine m[8];
static size_t nm;
static struct place_service s[SERVICES];
static struct place_move moves[SERVICES];
static uint64_t now, again;

static struct place_machine *machine(const char *id)
{
    for (size_t i = 0; i < nm; i++)
        if (strcmp(m[i].id, id) == 0)
            return &m[i];
    m[nm] = (struct place_machine){ .alive = true, .since_ms = 100 };
    strcpy(m[nm].id, id);
    return &m[nm++];
}

static int begin(void **state)
{
    (void)state;
    nm = 0;
    now = 100000;
    memset(s, 0, sizeof s);
    for (int k = 0; k < SERVICES; k++)
        strcpy(s[k].name, service_names[k]);
    return 0;
}

/* Carries out the moves, and says where everything is: "a b - a". */
static const char *place(void)
{
    static char at[SERVICES * ID_MAX];
    size_t n = place_services(m, nm, s, SERVICES, now, moves, &again);

    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < SERVICES; k++)
            if (strcmp(s[k].name, moves[i].name) == 0) {
                assert_int_equal(moves[i].epoch, s[k].epoch);
                assert_true(moves[i].why[0]);
                strcpy(s[k].machine, moves[i].to);
                s[k].epoch++;
                s[k].since_ms = now;
            }
    at[0] = '\0';
    for (int k = 0; k < SERVICES; k++)
        snprintf(at + strlen(at), sizeof at - strlen(at), "%s%s", k ? " " : "",
                 s[k].machine[0] ? s[k].machine : "-");
    return at;
}

static void the_names_are_four(void **state)
{
    (void)state;
    assert_string_equal(service_names[WEB], "web");
    assert_null(service_names[SERVICES]);
}

static void one_machine_runs_all_four(void **state)
{
    (void)state;
    machine("a");
    assert_string_equal(place(), "a a a a");
}

static void the_scheduler_goes_to_the_leader_and_the_others_around_it(void **state)
{
    (void)state;
    machine("a");
    machine("b");
    machine("c")->leads = true;
    machine("d");
    assert_string_equal(place(), "a c b d");
    machine("c")->leads = false; /* it does not follow */
    machine("b")->leads = true;
    assert_string_equal(place(), "a c b d");
    machine("c")->alive = false;
    assert_string_equal(place(), "a b b d");
}

static void the_leader_is_no_place_when_it_is_not_to_serve(void **state)
{
    (void)state;
    machine("a")->leads = true;
    machine("a")->wish[SCHEDULER] = SERVE_NOT;
    machine("b");
    assert_string_equal(place(), "a b a b");
    machine("a")->wish[SCHEDULER] = SERVE_MAY;
    machine("a")->unwell = true;
    assert_string_equal(place(), "a b a b");
}

static void nobody_alive_no_moves(void **state)
{
    (void)state;
    machine("a")->alive = false;
    assert_string_equal(place(), "- - - -");
    nm = 0;
    assert_string_equal(place(), "- - - -");
}

static void they_are_spread_the_longest_alive_first(void **state)
{
    (void)state;
    machine("a");
    machine("b")->since_ms = 50;
    machine("c");
    assert_string_equal(place(), "a b c b");
}

static void a_service_stays_when_a_machine_comes(void **state)
{
    (void)state;
    machine("a");
    place();
    machine("b");
    assert_string_equal(place(), "a a a a");
    assert_int_equal(s[0].epoch, 1);
}

static void what_ran_on_a_dead_machine_goes_on_elsewhere_in_a_higher_epoch(void **state)
{
    (void)state;
    machine("a");
    machine("b");
    assert_string_equal(place(), "b a a b");
    machine("a")->alive = false;
    assert_string_equal(place(), "b b b b");
    assert_int_equal(s[SCHEDULER].epoch, 2);
    assert_int_equal(s[FILESYSTEM].epoch, 1);
    machine("a")->alive = true;
    assert_string_equal(place(), "b b b b");
}

static void a_machine_that_is_no_longer_known_counts_as_dead(void **state)
{
    (void)state;
    strcpy(s[WEB].machine, "x");
    machine("a");
    assert_string_equal(place(), "a a a a");
}

static void a_draining_machine_gives_its_services_away(void **state)
{
    (void)state;
    machine("a");
    machine("b");
    place();
    machine("a")->draining = true;
    assert_string_equal(place(), "b b b b");
    machine("b")->draining = true; /* now all drain: better there than nowhere */
    assert_string_equal(place(), "b b b b");
    machine("b")->alive = false;
    assert_string_equal(place(), "a a a a");
}

static void move_is_honoured_and_lasts(void **state)
{
    (void)state;
    machine("a");
    machine("b");
    place();
    strcpy(s[FILESYSTEM].wanted, "a");
    assert_string_equal(place(), "a a a b");
    machine("a")->alive = false;
    assert_string_equal(place(), "b b b b");
    machine("a")->alive = true;
    assert_string_equal(place(), "a b b b");
}

static void move_to_a_machine_that_is_dead_or_drains_waits(void **state)
{
    (void)state;
    machine("a");
    machine("b")->alive = false;
    strcpy(s[WEB].wanted, "b");
    assert_string_equal(place(), "a a a a");
    machine("b")->alive = true;
    machine("b")->draining = true;
    assert_string_equal(place(), "a a a a");
    machine("b")->draining = false;
    assert_string_equal(place(), "a a a b");
}

static void labels_prefer_and_avoid(void **state)
{
    (void)state;
    machine("a");
    machine("b")->wish[WEB] = SERVE_RATHER;
    for (int k = 0; k < SERVICES; k++)
        machine("c")->wish[k] = SERVE_NOT;
    assert_string_equal(place(), "b a a b");
    machine("a")->alive = machine("b")->alive = false;
    assert_string_equal(place(), "c c c c"); /* avoided, but better than nowhere */
}

static void what_its_machine_cannot_do_goes_where_it_can(void **state)
{
    (void)state;
    machine("a");
    machine("b");
    assert_string_equal(place(), "b a a b");
    now += PLACE_STAY_MS;
    machine("a")->unwell = true;
    assert_string_equal(place(), "b b b b");
    assert_string_equal(moves[0].why, "its machine cannot write the registry");
    assert_int_equal(s[SCHEDULER].epoch, 2);
    machine("a")->unwell = false;
    now += PLACE_STAY_MS;
    assert_string_equal(place(), "b b b b"); /* nothing comes back by itself */
}

static void a_service_that_fails_on_a_machine_leaves_it_alone(void **state)
{
    (void)state;
    machine("a");
    machine("b");
    place();
    now += PLACE_STAY_MS;
    machine("b")->unfit[FILESYSTEM] = true;
    assert_string_equal(place(), "a a a b");
    assert_string_equal(moves[0].why, "it failed there again and again");
    machine("a")->alive = false;
    assert_string_equal(place(), "b b b b"); /* better there than nowhere */
}

static void where_no_other_is_better_off_it_stays(void **state)
{
    (void)state;
    machine("a")->unwell = true;
    assert_string_equal(place(), "a a a a");
    now += PLACE_STAY_MS;
    assert_string_equal(place(), "a a a a");
    machine("b")->unwell = true;
    machine("c")->alive = false;
    for (int k = 0; k < SERVICES; k++)
        machine("d")->unfit[k] = true;
    assert_string_equal(place(), "a a a a");
    assert_int_equal(s[WEB].epoch, 1);
    machine("e")->draining = true; /* what is being drained works */
    assert_string_equal(place(), "e e e e");
    machine("e")->alive = false;
    machine("f");
    assert_string_equal(place(), "f f f f");
}

static void what_came_to_a_machine_stays_a_while(void **state)
{
    (void)state;
    machine("a");
    machine("b");
    place();
    assert_true(again == UINT64_MAX);
    machine("a")->unwell = true;
    now += PLACE_STAY_MS - 1;
    assert_string_equal(place(), "b a a b");
    assert_int_equal(again, now + 1);
    now++;
    assert_string_equal(place(), "b b b b");
    s[SHELL].since_ms = 0; /* as far as a new leader knows */
    machine("b")->unwell = true;
    machine("a")->unwell = false;
    assert_string_equal(place(), "a b a a");
}

static void an_operator_may_move_it_to_any_machine(void **state)
{
    (void)state;
    machine("a");
    machine("b")->unwell = true;
    assert_string_equal(place(), "a a a a");
    strcpy(s[WEB].wanted, "b");
    assert_string_equal(place(), "a a a b");
    s[WEB].wanted[0] = '\0'; /* as service.assign does */
    assert_string_equal(place(), "a a a b");
    now += PLACE_STAY_MS;
    assert_string_equal(place(), "a a a a");
}

static void a_verdict_takes_its_time(void **state)
{
    struct place_judge j = { 0 };

    (void)state;
    assert_false(place_judge(&j, 1000, true, 3000, 10000));
    assert_false(place_judge(&j, 3999, true, 3000, 10000));
    assert_false(place_judge(&j, 3999, false, 3000, 10000)); /* a short trouble is none */
    assert_false(place_judge(&j, 4000, true, 3000, 10000));
    assert_false(place_judge(&j, 6999, true, 3000, 10000));
    assert_true(place_judge(&j, 7000, true, 3000, 10000));
    assert_true(place_judge(&j, 8000, false, 3000, 10000));
    assert_true(place_judge(&j, 17999, false, 3000, 10000));
    assert_true(place_judge(&j, 17999, true, 3000, 10000));
    assert_true(place_judge(&j, 18000, false, 3000, 10000));
    assert_false(place_judge(&j, 28000, false, 3000, 10000));
    assert_true(place_judge(&j, 28001, true, 0, 0));
}

#define CASE(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_names_are_four),
        CASE(one_machine_runs_all_four),
        CASE(the_scheduler_goes_to_the_leader_and_the_others_around_it),
        CASE(the_leader_is_no_place_when_it_is_not_to_serve),
        CASE(nobody_alive_no_moves),
        CASE(they_are_spread_the_longest_alive_first),
        CASE(a_service_stays_when_a_machine_comes),
        CASE(what_ran_on_a_dead_machine_goes_on_elsewhere_in_a_higher_epoch),
        CASE(a_machine_that_is_no_longer_known_counts_as_dead),
        CASE(a_draining_machine_gives_its_services_away),
        CASE(move_is_honoured_and_lasts),
        CASE(move_to_a_machine_that_is_dead_or_drains_waits),
        CASE(labels_prefer_and_avoid),
        CASE(what_its_machine_cannot_do_goes_where_it_can),
        CASE(a_service_that_fails_on_a_machine_leaves_it_alone),
        CASE(where_no_other_is_better_off_it_stays),
        CASE(what_came_to_a_machine_stays_a_while),
        CASE(an_operator_may_move_it_to_any_machine),
        cmocka_unit_test(a_verdict_takes_its_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
