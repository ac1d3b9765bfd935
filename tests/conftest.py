"""What holds for all tests."""

from hypothesis import settings

# No test asserts a time: hypothesis would fail an example that takes 200 ms, which a busy machine makes of any.
settings.register_profile("khantui", deadline=None)
settings.load_profile("khantui")
