"""Before a case is segmented: what could make the result wrong, said in time, each with its way out."""
