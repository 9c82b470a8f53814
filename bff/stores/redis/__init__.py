"""The connections of all stores: one multiplexed and one pub/sub connection per process and node, to a single server,
a master found by Sentinels, or a cluster.
"""
