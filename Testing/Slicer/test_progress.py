"""Progress is told by shares of the time that the stages took before, from the first moment to the last."""

import slicer_case

from VoxMMSDSegmentLib.progress import FIRST_GUESS, Plan, stages_of


class ProgressTest(slicer_case.ModuleTest):
    def test_there_is_a_share_and_a_time_left_from_the_first_moment(self):
        plan = Plan({"saving": 1.0, "reading": 9.0, "segmenting": 10.0}, now=100.0)
        first = plan.at(100.0)
        self.assertEqual((first.share, first.seconds_left), (0.0, 20.0))
        self.assertIn("20 s left", first.line())

    def test_a_stage_moves_while_nothing_is_heard_of_it_and_never_says_that_it_is_done(self):
        plan = Plan({"reading": 10.0, "segmenting": 10.0}, now=0.0)
        self.assertAlmostEqual(plan.at(5.0).share, 0.25)
        self.assertLess(plan.at(500.0).share, 0.5)
        self.assertGreater(plan.at(500.0).seconds_left, 10.0)

    def test_windows_that_are_done_tell_better_than_the_last_run(self):
        plan = Plan({"segmenting": 10.0, "writing": 2.0}, now=0.0)
        plan.done(0.0, 0.0)
        plan.done(0.25, 10.0)
        self.assertAlmostEqual(plan.at(10.0).seconds_left, 32.0)

    def test_the_events_of_a_run_say_the_stage_and_its_part(self):
        plan = Plan({"reading": 10.0, "segmenting": 10.0}, now=0.0)
        plan.follow([{"kind": "progress", "stage": "segmenting", "done": 1, "total": 4}, {"kind": "metric"}], 10.0)
        self.assertEqual(plan.took, {"reading": 10.0})
        self.assertIn("Segmenting", plan.at(10.0).line())
        self.assertAlmostEqual(plan.at(10.0).seconds_left, 0.3)  # a quarter took the least that is reckoned with, 0.1 s

    def test_a_share_never_falls_when_a_stage_takes_longer(self):
        plan = Plan({"segmenting": 10.0, "writing": 10.0}, now=0.0)
        before = plan.at(9.0).share
        plan.done(0.1, 9.0)
        self.assertEqual(plan.at(9.0).share, before)

    def test_one_window_moves_like_any_other_stage(self):
        plan = Plan({"segmenting": 10.0}, now=0.0)
        plan.done(0.0, 0.0)
        self.assertAlmostEqual(plan.at(5.0).share, 0.5)

    def test_what_the_stages_took_is_known_at_the_end(self):
        plan = Plan({"reading": 10.0, "segmenting": 10.0}, now=0.0)
        plan.begin("reading", 1.0)
        plan.begin("segmenting", 4.0)
        plan.end(9.0)
        self.assertEqual(plan.took, {"reading": 4.0, "segmenting": 5.0})

    def test_stages_that_are_not_asked_for_are_none(self):
        every = stages_of(align=True, strip=True, correct=True)
        self.assertEqual(every, tuple(FIRST_GUESS))
        self.assertEqual(set(every) - set(stages_of(align=False, strip=False)), {"aligning", "stripping", "correcting"})
