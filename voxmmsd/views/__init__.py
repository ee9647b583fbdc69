"""How training sees a case: batched tensor operations on any device, parameters drawn first, arithmetic pure after."""
