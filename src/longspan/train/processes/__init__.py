"""Several processes that train one model: who reads what, and how gradients and states become one."""
