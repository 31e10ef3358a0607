"""Labels for proposals, from labels of whole videos or from the features inside each proposal."""
