"""Starts a runner. The worker runs this file with the user's interpreter."""
if __name__ == '__main__':  # Not in processes that a step's multiprocessing starts.
    from buelon._runner import main
    main()
