"""What the benchmarks share: threads, timing, workloads, engines in processes of their own, reports."""
