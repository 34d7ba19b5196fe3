import unittest

from common_words import common_words

from sc_gpu.errors import TaskInputError
from sc_gpu.testing import run_task


class CommonWords(unittest.TestCase):
    def test_tells_the_words_that_come_most_often(self) -> None:
        record = run_task(common_words, {"text": "a rose is a rose\nis a rose", "most": 2})
        self.assertEqual(record.output, {"words": [{"word": "a", "times": 3}, {"word": "rose", "times": 3}]})
        self.assertEqual(record.logs, [("info", "Counted", {"different": 3})])
        self.assertEqual(record.progress[-1][0], 1)

    def test_refuses_no_text(self) -> None:
        with self.assertRaisesRegex(TaskInputError, "text: "):
            run_task(common_words, {"text": ""})


if __name__ == "__main__":
    unittest.main()
