import numpy as np

from voxmmsd.data.checkerboard import checkerboard


def test_squares_of_the_two_images_take_turns():
    board = checkerboard(np.zeros((4, 6)), np.ones((4, 6)), squares=3)
    np.testing.assert_array_equal(board[0], [0, 0, 1, 1, 0, 0])
    np.testing.assert_array_equal(board[2], [1, 1, 0, 0, 1, 1])


def test_an_image_smaller_than_its_squares_is_drawn_too():
    np.testing.assert_array_equal(checkerboard(np.zeros((1, 2)), np.ones((1, 2))), [[0, 1]])
