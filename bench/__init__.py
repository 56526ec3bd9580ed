# SPDX-License-Identifier: GPL-2.0-only
"""The same work on the kernel's own driver and on ours, side by side on the same guests."""
