//! Files as tar streams: what both sides use to pack a tree and to unpack one that they do not trust.
