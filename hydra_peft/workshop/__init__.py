"""Tools beside the framework: they make its inputs and measure it. No run imports them."""
