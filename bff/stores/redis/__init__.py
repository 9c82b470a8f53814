"""The connection under every port: one multiplexed link and one ear a process, to a server, Sentinel or Cluster."""
