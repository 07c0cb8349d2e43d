"""What the blocks and the command line call: the steps of a lane, the runner, rejects."""
