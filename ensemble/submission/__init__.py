"""The CSV to submit, its check against the sample submission, and the manifest that explains it."""

from ensemble.submission.keep import keep_blend
from ensemble.submission.write import Submission, write_submission

__all__ = ["Submission", "keep_blend", "write_submission"]
