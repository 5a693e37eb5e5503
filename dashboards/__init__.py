"""What operators look at: nothing yet; the pipeline's figures are on the topic of details."""
