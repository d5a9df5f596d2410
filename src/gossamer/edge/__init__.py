"""Green edge inference: which access point runs which user's task, for least power.

The problem and the three-stage method are those of X. Yang, S. Hua, Y. Shi, H. Wang, J. Zhang and
K. B. Letaief, Sparse Optimization for Green Edge AI Inference, Journal of Communications and
Information Networks 5(1), 2020 (arXiv 2002.10080). What is ours is said where it is.
"""
