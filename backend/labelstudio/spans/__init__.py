"""Spans at the edge to Label Studio: configs, texts as the page counts them, regions out and annotations in."""
