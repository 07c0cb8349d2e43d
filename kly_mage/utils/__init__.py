"""What the blocks and the command line share. Imports run downwards only:

``errors``, ``settings``, ``sources``, ``window``, ``frames`` at the ground; ``casting``, ``landing``, ``rowhash`` and
``database`` above them; then ``schema``, ``bronze``, ``steps`` (what a block calls) and ``pipelines``.
"""
