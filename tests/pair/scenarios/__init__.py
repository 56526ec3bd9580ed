# SPDX-License-Identifier: GPL-2.0-only
"""One file for each group of scenarios. Each function gets a cluster.Cluster with the driver loaded and nothing configured."""
