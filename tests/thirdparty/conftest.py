"""Outside plugins: their tests are run where they are installed, by tests/core/test_thirdparty.py."""

collect_ignore_glob = ["*"]
