"""What a folder of images and tables is: which images, which labels, which test set, by evidence."""
