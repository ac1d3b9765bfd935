"""Objects in S3, Google Cloud Storage or Azure, streamed; and what goes wrong there, in words.

The library is `obstore`; it takes credentials, region and endpoint from the environment as each cloud's own tools do.
For trials a folder (file:///…) does as well.
It is imported when the first bucket is opened, and only here.
"""

from backend.objects.bucket import Bucket, Head, open_bucket, split

__all__ = ["Bucket", "Head", "open_bucket", "split"]
